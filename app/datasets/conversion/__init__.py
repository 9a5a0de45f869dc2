"""How an uploaded file becomes typed rows: what runs in a process of its own, apart from the API.

Reading what strangers send takes processor time, memory and libraries written in C++. In the API's own
process the trouble of one would be everybody's.
"""
