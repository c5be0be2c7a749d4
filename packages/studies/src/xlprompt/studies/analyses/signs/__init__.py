"""Whether something without labels of the target languages picks a better learning rate than English."""
