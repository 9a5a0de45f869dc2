"""The engine whose children run on other machines. Ray starts its hosts; only `starter` knows Ray."""
