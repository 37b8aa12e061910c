"""The only way to the store: who asks, may they, is it valid, and who has to hear of it."""
