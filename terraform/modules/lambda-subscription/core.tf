# What a subscription is, in the words of its environment variables. This file is the same in every module.
#
# A field is the variable's name in lower case without its prefix: handler.timeout is HANDLER_TIMEOUT. One that is null, or left
# out, is not rendered: then the default of kafka-sidecar holds, which no module restates.

variable "name" {
  description = "Name of the subscription: SUBSCRIPTION_ID, the consumer group, and the name of what is created."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,48}$", var.name))
    error_message = "name must be at most 49 lower-case letters, digits and dashes, and begin with a letter."
  }
}

variable "subscription" {
  description = <<-EOT
    What is consumed and who is invoked:
    - `source`: `kafka://<cluster>/<topic>`.
    - `sink`: `service://<Service>/<handler>`, `http(s)://host/path` or `lambda://<function>`.
    - `options`: librdkafka options. Secrets do not belong here; as `KAFKA_OPTION_<NAME>` they can be given by reference.
  EOT
  type = object({
    source  = string
    sink    = string
    options = optional(map(string))
  })
  nullable = false

  validation {
    condition     = can(regex("^kafka://[^/?#]+/[^/?#]+$", var.subscription.source))
    error_message = "subscription.source must be kafka://<cluster>/<topic>."
  }

  validation {
    condition     = can(regex("^(service|https?|lambda)://.+$", var.subscription.sink))
    error_message = "subscription.sink must begin with service://, http://, https:// or lambda://."
  }

  validation {
    condition     = length([for o in keys(coalesce(var.subscription.options, {})) : o if can(regex("password|secret|jaas|\\.key\\.pem$", o))]) == 0
    error_message = "subscription.options must hold no secret: it would stand in the state and in the environment. Give it by reference, as KAFKA_OPTION_<NAME>."
  }
}

variable "bootstrap_servers" {
  description = "Brokers of the cluster that `subscription.source` names, comma separated: KAFKA_BOOTSTRAP_SERVERS. Null where clusters are given in another form."
  type        = string
  default     = null

  validation {
    condition     = var.bootstrap_servers == null || can(regex("^[^,/\\s]+(,[^,/\\s]+)*$", coalesce(var.bootstrap_servers, "-")))
    error_message = "bootstrap_servers must be host:port, comma separated, without scheme or spaces."
  }
}

variable "handler" {
  description = "The handler: HANDLER_<FIELD>. What is secret (headers, tokens, keys) is no field of it."
  type = object({
    url             = optional(string)
    protocol        = optional(string)
    type            = optional(string)
    timeout         = optional(string)
    content_type    = optional(string)
    format          = optional(string)
    forward_headers = optional(string)
    header_style    = optional(string)
    auth            = optional(string)
    google_audience = optional(string)
    sigv4_region    = optional(string)
    sigv4_service   = optional(string)
    done_statuses   = optional(string)
    retry_statuses  = optional(string)
    fail_statuses   = optional(string)
    tls_ca          = optional(string)
    tls_cert        = optional(string)
    tls_server_name = optional(string)
  })
  default  = {}
  nullable = false
}

variable "records" {
  description = "Records that are special: NULL_KEY, INVALID_KEY and TOMBSTONES."
  type = object({
    null_key    = optional(string)
    invalid_key = optional(string)
    tombstones  = optional(string)
  })
  default  = {}
  nullable = false
}

variable "ordering" {
  description = "ORDERING: `key`, `partition` or `none`."
  type        = string
  default     = null
}

variable "limits" {
  description = "CONCURRENCY, MAX_IN_FLIGHT, MAX_IN_FLIGHT_BYTES, PARKED_MAX, PARKED_MAX_BYTES and RATE_LIMIT."
  type = object({
    concurrency         = optional(number)
    max_in_flight       = optional(number)
    max_in_flight_bytes = optional(string)
    parked_max          = optional(number)
    parked_max_bytes    = optional(string)
    rate_limit          = optional(string)
  })
  default  = {}
  nullable = false
}

variable "retry" {
  description = "RETRY_<FIELD>."
  type = object({
    initial_interval = optional(string)
    max_interval     = optional(string)
    factor           = optional(number)
    max_attempts     = optional(number)
    max_age          = optional(string)
  })
  default  = {}
  nullable = false
}

variable "on_failure" {
  description = "ON_FAILURE, what a failed record becomes: `park`, `dead-letter`, `drop` or `stop`."
  type        = string
  default     = null

  validation {
    condition     = var.on_failure != "stop"
    error_message = "on_failure must not be \"stop\" here: what restarts the container makes a crash loop of it. Use \"park\" and an alarm."
  }
}

variable "failure_limit" {
  description = "FAILURE_LIMIT: a number, or `off`."
  type        = string
  default     = null
}

variable "dead_letter" {
  description = "Where failed records go: DEAD_LETTER_TOPIC or DEAD_LETTER_URL, and DEAD_LETTER_<FIELD> for how a request to that URL proves who sent it."
  type = object({
    topic           = optional(string)
    url             = optional(string)
    auth            = optional(string)
    google_audience = optional(string)
    sigv4_region    = optional(string)
    sigv4_service   = optional(string)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.dead_letter.topic == null || var.dead_letter.url == null
    error_message = "dead_letter takes one of topic and url."
  }
}

variable "start_at" {
  description = "START_AT, where a group without any commit begins: `earliest`, `latest`, an RFC 3339 time, or an age such as `-2h`."
  type        = string
  default     = null
}

variable "log_level" {
  description = "LOG_LEVEL: `debug`, `info`, `warn` or `error`."
  type        = string
  default     = null
}

variable "env" {
  description = "Further environment variables, in clear. It cannot set what another input of the module sets."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(keys(var.env), keys(local.rendered))) == 0
    error_message = "env sets what another input of the module sets: ${join(", ", setintersection(keys(var.env), keys(local.rendered)))}."
  }

  validation {
    condition = alltrue([
      for name, value in var.env :
      !can(regex("_(HEADERS|BEARER_TOKEN|BASIC_PASSWORD|SIGNATURE_SECRETS|TLS_KEY)$", name))
      && !can(regex("^KAFKA_OPTION_.*(PASSWORD|SECRET|JAAS|KEY_PEM)", name))
      && !(can(regex("^(KAFKA_CLUSTERS|RESTATE_INGRESS__KAFKA_CLUSTERS|SUBSCRIPTION)", name)) && can(regex("password|secret|jaas|key\\.pem", value)))
    ])
    error_message = "env must hold no secret: it would stand in the state and in the environment. Give it by reference."
  }
}

locals {
  # Every variable that an input stands for; null is what was left out. What the platform decides comes last.
  settings = merge(
    {
      SUBSCRIPTION_ID      = var.name
      SUBSCRIPTION_SOURCE  = var.subscription.source
      SUBSCRIPTION_SINK    = var.subscription.sink
      SUBSCRIPTION_OPTIONS = var.subscription.options == null ? null : jsonencode(var.subscription.options)

      KAFKA_BOOTSTRAP_SERVERS = var.bootstrap_servers

      ORDERING      = var.ordering
      ON_FAILURE    = var.on_failure
      FAILURE_LIMIT = var.failure_limit
      START_AT      = var.start_at
      LOG_LEVEL     = var.log_level
    },
    { for field, value in var.handler : "HANDLER_${upper(field)}" => value },
    { for field, value in var.records : upper(field) => value },
    { for field, value in var.limits : upper(field) => value == null ? null : tostring(value) },
    { for field, value in var.retry : "RETRY_${upper(field)}" => value == null ? null : tostring(value) },
    { for field, value in var.dead_letter : "DEAD_LETTER_${upper(field)}" => value },
    local.platform,
  )
  rendered = { for name, value in local.settings : name => value if value != null }

  environment = merge(local.rendered, var.env)
}
