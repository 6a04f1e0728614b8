"""An exchange to run against: REST, WebSocket, matching, recorded and generated markets."""
