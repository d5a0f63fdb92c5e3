"""What Waybill costs, measured against the raw client and the peers in one run."""
