"""What leaves the store and comes into it: folders of PEFT, folders and repositories of the hub."""
