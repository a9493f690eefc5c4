-- Token buckets: all of KEYS have enough for what is asked, or none is charged.
-- ARGV: for each key its rate (a second), its capacity, and the cost; then 1 when it is spent already, and is taken out
-- whatever is left. Who asks for more than a bucket holds needs it
-- full and leaves it in debt: a long batch is late for the next one, but never impossible.
-- Returns {1 when charged, then for each key what it has left (whole) and the milliseconds until it has enough}.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local levels, answer, charged = {}, {}, 1
for i, key in ipairs(KEYS) do
    local rate, capacity, cost = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    local found = redis.call('HMGET', key, 'level', 'at')
    local level = capacity
    if found[1] then
        level = math.min(capacity, tonumber(found[1]) + math.max(0, now - tonumber(found[2])) * rate / 1000)
    end
    local missing = math.min(cost, capacity) - level
    if missing > 0 and ARGV[3 * #KEYS + 1] ~= '1' then charged = 0 end
    levels[i] = level
    answer[2 * i] = math.floor(level)
    answer[2 * i + 1] = math.ceil(math.max(0, missing) * 1000 / rate)
end
if charged == 1 then
    for i, key in ipairs(KEYS) do
        local rate, capacity, cost = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
        local level = levels[i] - cost
        redis.call('HSET', key, 'level', tostring(level), 'at', string.format('%.3f', now))
        redis.call('PEXPIRE', key, math.ceil((capacity - level) * 1000 / rate) + 1000)
        answer[2 * i] = math.floor(level)
    end
end
answer[1] = charged
return answer
