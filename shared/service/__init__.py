"""What every service is made of: claimed jobs, workers, start and stop, and requests between services. Imports every other room."""
