"""What time brings: groups that become messages, messages whose turn it is, reminders, escalations, fall-backs. Each
part takes one piece of due work in one transaction; rows are locked, so that instances share the work and none does it
twice.
"""
