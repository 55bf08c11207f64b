"""Raw events in, features computed in the service: by the text that training ran, over history that is kept here."""
