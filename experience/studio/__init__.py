"""The studio route: `/ws`, `/websocket` and `/socket.io/`, spread over the instances of the studio API."""
