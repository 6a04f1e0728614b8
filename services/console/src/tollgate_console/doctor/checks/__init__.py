"""What the doctor looks at beside the metrics: one module for each area, each a function from patient to results."""
