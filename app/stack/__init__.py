"""The local stack: real servers as child processes on the loopback interface."""
