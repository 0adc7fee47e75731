"""What `mydata doctor` looks at: one small function for each thing that can be wrong, each with its cure."""
