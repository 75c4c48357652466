"""What decides and records. Never imports workers, Fabric or Paramiko."""
