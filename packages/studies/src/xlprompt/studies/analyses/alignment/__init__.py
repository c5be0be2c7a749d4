"""What aligning languages without labels gains."""
