"""One file a step. A step reads facts, makes at most one kind of change, and may die anywhere."""
