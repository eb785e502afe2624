"""Second factors, and the texts and one-time passwords that prove them."""
