"""Links by e-mail: their codes, how they are sent, and what they are good for."""
