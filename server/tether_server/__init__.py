"""The server side of Tether: what runs beside the agent."""
