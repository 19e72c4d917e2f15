"""How fast the platform is, beside a yardstick measured in the same minutes on the same machine."""
