"""The ground floor: no domain and no web framework, only what every process stands on."""
