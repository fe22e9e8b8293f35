"""The planner beside other tools, on the same clusters, in one run."""
