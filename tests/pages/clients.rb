# SPDX-License-Identifier: MIT
# clients.rb HOST:PORT: what Debian's ruby-webfinger and ruby-openid-connect read there, in JSON.
require "json"
require "openid_connect"

WebFinger.url_builder = URI::HTTP # a test has no certificate: a reverse proxy would have it
host = ARGV.fetch(0)

def error_of
  yield
  nil
rescue WebFinger::HttpError => e
  { name: e.class.name, status: e.status }
end

puts JSON.generate(
  alice: WebFinger.discover!("acct:alice@#{host}"),
  page: WebFinger.discover!("http://#{host}/~alice", rel: %w[me nosuch]),
  international: WebFinger.discover!("acct:bücher@#{host}").subject,
  issuer: OpenIDConnect::Discovery::Provider.discover!("acct:alice@#{host}").issuer,
  absent: error_of { WebFinger.discover!("acct:nobody@#{host}") },
  hidden: error_of { WebFinger.discover!("acct:hidden@#{host}") },
  bad: error_of { WebFinger.discover!("alice@#{host}") }
)
