"""Who is asking: tokens, minted sessions, standing sessions, and the brake on guessing."""
