"""What watches over a run from beside it: metrics, alerts, a page; nothing here can disturb it."""
