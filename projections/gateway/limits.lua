-- Token buckets. KEYS come in groups, each as one question after the other: all of a group have enough for what is
-- asked, or none of it is charged. Who asks for more than a bucket holds needs it full and leaves it in debt: a long
-- batch is late for the next one, but never impossible.
-- ARGV: for each key its rate (a second), its capacity, the cost, and the number of its group. Of group 0 all is spent
-- already, and is taken out whatever is left.
-- Returns for each key {1 when its group is charged, what is left (whole), the milliseconds until it has enough}.
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local answer = {}
local first = 1
while first <= #KEYS do
    local group = ARGV[4 * first]
    local last = first
    while last < #KEYS and ARGV[4 * (last + 1)] == group do last = last + 1 end
    local levels, charged = {}, 1
    for i = first, last do
        local rate, capacity, cost = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1])
        local found = redis.call('HMGET', KEYS[i], 'level', 'at')
        local level = capacity
        if found[1] then
            level = math.min(capacity, tonumber(found[1]) + math.max(0, now - tonumber(found[2])) * rate / 1000)
        end
        local missing = math.min(cost, capacity) - level
        if missing > 0 and group ~= '0' then charged = 0 end
        levels[i] = level
        answer[3 * i - 1] = math.floor(level)
        answer[3 * i] = math.ceil(math.max(0, missing) * 1000 / rate)
    end
    for i = first, last do
        answer[3 * i - 2] = charged
        if charged == 1 then
            local rate, capacity, cost = tonumber(ARGV[4 * i - 3]), tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i - 1])
            local level = levels[i] - cost
            redis.call('HSET', KEYS[i], 'level', tostring(level), 'at', string.format('%.3f', now))
            redis.call('PEXPIRE', KEYS[i], math.ceil((capacity - level) * 1000 / rate) + 1000)
            answer[3 * i - 1] = math.floor(level)
        end
    end
    first = last + 1
end
return answer
