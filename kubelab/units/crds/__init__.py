"""The rules of a CustomResourceDefinition: its names, schemas, defaults and status."""
