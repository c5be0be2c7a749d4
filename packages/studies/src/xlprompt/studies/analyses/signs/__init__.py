"""Whether something that needs no labels of the target languages picks a better learning rate than English."""
