"""One small program per tool: reads a cluster, has the tool plan, writes the plan and the times.

They run in the tools' own virtualenvs, so all they import is the standard library and the tool.
"""
