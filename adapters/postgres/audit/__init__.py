"""What must hold in the tables, as set-wise SQL over one snapshot."""
