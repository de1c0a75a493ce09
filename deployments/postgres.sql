-- Run once, when the volume of the database is new: Prefect has the database `prefect`, and the paid answers their own.
CREATE DATABASE answers;
