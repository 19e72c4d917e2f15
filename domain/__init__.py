"""The rules of Reli: exact, pure, and free of any technology."""
