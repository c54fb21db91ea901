# The commands of the guide "Load Balancing AI/ML API with Apache APISIX" (Apache APISIX blog,
# 2025-07-31) that concern routes and traffic, each as it is printed there. `# @name` begins one.

# @route-v1
curl -i http://127.0.0.1:9180/apisix/admin/routes/test-v1 \
 -X PUT \
 -H "X-API-KEY: YOUR_ADMIN_KEY_HERE" \
 -d '{
 "uri": "/test/v1",
 "upstream": {
 "type": "roundrobin",
 "nodes": {"api.aimlapi.com:443": 1},
 "scheme": "https",
 "pass_host": "node"
 }
 }'

# @route-v2
curl -i http://127.0.0.1:9180/apisix/admin/routes/test-v2 \
 -X PUT \
 -H "X-API-KEY: YOUR_ADMIN_KEY_HERE" \
 -d '{
 "uri": "/test/v2",
 "upstream": {
 "type": "roundrobin",
 "nodes": {"api.aimlapi.com:443": 1},
 "scheme": "https",
 "pass_host": "node"
 }
 }'

# @route-split
curl -i http://127.0.0.1:9180/apisix/admin/routes/aimlapi-split \
 -X PUT \
 -H "X-API-KEY: YOUR_ADMIN_KEY_HERE" \
 -d '{
 "id": "aimlapi-split",
 "uri": "/chat/completions",
 "upstream": {
 "type": "roundrobin",
 "nodes": {"api.aimlapi.com:443": 1},
 "scheme": "https",
 "pass_host": "node"
 },
 "plugins": {
 "traffic-split": {
 "rules": [
 {
 "weight": 50,
 "upstream": {"type":"roundrobin","nodes":{"api.aimlapi.com:443":1},"scheme":"https","pass_host":"node"},
 "rewrite": {"uri":"/v1/chat/completions"}
 },
 {
 "weight": 50,
 "upstream": {"type":"roundrobin","nodes":{"api.aimlapi.com:443":1},"scheme":"https","pass_host":"node"},
 "rewrite": {"uri":"/v2/chat/completions"}
 }
 ]
 }
 }
 }'

# @verify
curl -v -X POST http://127.0.0.1:9080/chat/completions \
 -H "Authorization: Bearer <AIML_API_KEY>" \
 -H "Content-Type: application/json" \
 -d '{"model":"gpt-4","messages":[{"role":"user","content":"ping"}]}'

# @load-test
time seq 100 | xargs -I {} curl -s -o /dev/null -X POST http://127.0.0.1:9080/chat/completions \
 -H "Authorization: Bearer <AIML_API_KEY>" \
 -H "Content-Type: application/json" \
 -d '{"model":"gpt-4","messages":[{"role":"user","content":"ping"}]}'
