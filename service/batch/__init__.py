"""Files in OpenAI's batch format: a line becomes a request to the service, its answer a line.

`lines` reads the file, `exchange` asks the service and writes the result, `own_service` starts a
service for the length of a run where none is named. Each line goes to a route of the service, so it
is answered, bounded and refused exactly as over HTTP.

vLLM's own runner (`vllm.entrypoints.openai.run_batch`) is not used: it takes chat completions,
embeddings and scores and neither `/analyze` nor `/v1/decisions`, and one line that it cannot read
ends the whole run with a traceback that holds the line.
"""
