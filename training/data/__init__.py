"""From the files as they were released to typed, cleaned, divided examples."""
