# A program that uses Sidekiq.
#
#	sidekiq_jobs.rb add  HOST PORT QUEUES JOBS DELAY-EVERY    prints how often a job was refused
#	sidekiq_jobs.rb work HOST PORT QUEUES JOURNAL
#	sidekiq_jobs.rb left HOST PORT QUEUES JOBS                prints what remains, as JSON
require "json"
require "sidekiq/api"

WHAT, HOST, PORT, NAMES, *ARGS = ARGV.dup.freeze unless defined?(WHAT)
QUEUES = NAMES.split(",") unless defined?(QUEUES)
URL = "redis://#{HOST}:#{PORT}" unless defined?(URL)
FAIL_EVERY = 5 unless defined?(FAIL_EVERY) # one job in so many fails at first

Sidekiq.configure_client { |config| config.redis = { url: URL } }
Sidekiq.configure_server do |config|
  config.redis = { url: URL }
  config.options[:poll_interval_average] = 0.5
  config.logger.level = Logger::WARN
end

# Notes for the job whether it is tried for the first time, which Sidekiq does not tell it.
class First
  def call(_worker, job, _queue)
    Thread.current[:first] = job["retry_count"].nil?
    yield
  end
end
Sidekiq.configure_server { |config| config.server_middleware { |chain| chain.add First } }

# One job: its effect is recorded in the cluster first, then in the file of its worker.
class Job
  include Sidekiq::Worker
  sidekiq_options retry: 1000
  sidekiq_retry_in { 1 }

  def perform(number)
    raise "it fails at first" if number % FAIL_EVERY == 0 && Thread.current[:first]
    Sidekiq.redis { |redis| redis.sadd("effects", number) }
    File.write(ARGS[0], "#{number}\n", mode: "a")
  end
end

def add
  jobs, every = ARGS.map(&:to_i)
  refused = 0
  jobs.times do |number|
    job = { "class" => Job, "queue" => QUEUES[number % QUEUES.size], "args" => [number], "retry" => 1000 }
    job["at"] = Time.now.to_f + 3 if number % every == 0
    begin
      Sidekiq::Client.push(job)
    rescue Redis::BaseError => e
      warn e.message
      refused += 1
      sleep 0.05
      retry
    end
  end
  puts refused
end

def work
  require "sidekiq/cli"
  cli = Sidekiq::CLI.instance
  cli.parse(["-r", File.expand_path(__FILE__), "-c", "4", "-t", "3", "-e", "production"] + QUEUES.flat_map { |q| ["-q", q] })
  cli.run
end

# Sidekiq keeps nothing of a job that has ended, and a job that is executed is only in the
# worker. So whatever is in no queue has completed if it has had its effect.
def left
  Sidekiq::ProcessSet.new # takes away what is known of processes that have ended
  open = QUEUES.sum { |name| Sidekiq::Queue.new(name).size } + Sidekiq::ScheduledSet.new.size + Sidekiq::RetrySet.new.size
  open += Sidekiq::Workers.new.size
  done = Sidekiq.redis { |redis| redis.scard("effects") }
  rest = ARGS[0].to_i - done
  { Open: open, Given: Sidekiq::DeadSet.new.size, Completed: done, Stranded: open.zero? ? rest : 0 }
end

# A job is nowhere between its queue and the worker's note that it is busy, which is
# made every few seconds: only what is so for longer is lost.
def settled
  has = left
  if has[:Stranded] > 0
    sleep 7
    has = left
  end
  has
end

if $PROGRAM_NAME == __FILE__
  case WHAT
  when "add" then add
  when "work" then work
  else puts JSON.generate(settled)
  end
end
