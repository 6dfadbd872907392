"""What breaks runs: kills, damage, full disks, bad inputs, two processes at once. `make torture` runs the long ones."""
