"""`waybill demo`: the standard library's files as jobs, two workers, one of them killed, and a report that adds up."""
