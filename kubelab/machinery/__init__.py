"""The ground floor: pure pieces with no I/O that every other room builds on."""
