"""The console on the screen: `run(session)` opens it. Nothing outside this package and `widgets` imports Textual."""
