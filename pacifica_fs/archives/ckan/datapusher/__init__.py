"""Data Pusher's own service: jobs that fetch a resource, read it as a table and write it into the DataStore.

`job` the values and what a request may ask for, `store` the durable list, `work` one job, `runner` the threads,
`web` the job API over HTTP.
"""
