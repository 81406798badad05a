-- Ends the turn of one who has it still. KEYS: who has it. ARGV: who ends it.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
