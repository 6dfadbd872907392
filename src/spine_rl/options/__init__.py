"""What every command, file and configuration has in common: how an option is declared, checked, and read from YAML."""

from spine_rl.options.declare import Bound, check_option, check_options, option, read_mapping, read_truth
from spine_rl.options.yaml_file import YamlFile, read_yaml

__all__ = ["Bound", "YamlFile", "check_option", "check_options", "option", "read_mapping", "read_truth", "read_yaml"]
