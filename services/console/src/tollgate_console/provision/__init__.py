"""What must be there before a service starts: keys, streams and permissions, database roles and schemas."""
