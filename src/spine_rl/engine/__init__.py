"""Work that the responses to one prompt share: its forward pass in the update, its prefill in generation."""
