"""What lies between tiles: schedules, messages, and channels between the hosts of tiles."""
