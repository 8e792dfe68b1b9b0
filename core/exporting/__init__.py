"""What a trained task gives away: networks in forms that are used without dope."""
