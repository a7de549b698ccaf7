"""Stakes: bonds on Bitcoin, their pre-signed slash and refund, registration and eligibility."""
