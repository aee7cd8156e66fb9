# Inputs of this platform. What a subscription is, stands in core.tf.

variable "kafka" {
  description = <<-EOT
    Where the event source mapping reads.
    - `msk_cluster_arn`: an MSK cluster. For any other Kafka leave it out and give `bootstrap_servers`.
    - `auth`: `iam` (MSK), `BASIC_AUTH`, `SASL_SCRAM_256_AUTH` (both not MSK), `SASL_SCRAM_512_AUTH` or `CLIENT_CERTIFICATE_TLS_AUTH`; null is none. Where a cluster of MSK has IAM on, Lambda takes it whenever there is no secret, so say `iam`.
    - `secret_arn`: the Secrets Manager secret for `auth`, in the form that Lambda's documentation gives.
    - `root_ca_secret_arn`: the secret with the brokers' authority, for any other Kafka.
    - `subnet_ids`, `security_group_ids`: where the brokers are reached, for any other Kafka; null is the internet.
  EOT
  type = object({
    msk_cluster_arn    = optional(string)
    auth               = optional(string)
    secret_arn         = optional(string)
    root_ca_secret_arn = optional(string)
    subnet_ids         = optional(list(string), [])
    security_group_ids = optional(list(string), [])
  })

  validation {
    condition     = (var.kafka.msk_cluster_arn != null) != (var.bootstrap_servers != null && var.dead_letter.topic == null) || (var.kafka.msk_cluster_arn != null && var.dead_letter.topic != null)
    error_message = "Give kafka.msk_cluster_arn, or bootstrap_servers of any other Kafka; both only with a dead_letter.topic on MSK, which the function writes itself."
  }

  validation {
    condition     = var.kafka.auth == null || contains(["iam", "BASIC_AUTH", "SASL_SCRAM_256_AUTH", "SASL_SCRAM_512_AUTH", "CLIENT_CERTIFICATE_TLS_AUTH"], coalesce(var.kafka.auth, "-"))
    error_message = "kafka.auth must be iam, BASIC_AUTH, SASL_SCRAM_256_AUTH, SASL_SCRAM_512_AUTH or CLIENT_CERTIFICATE_TLS_AUTH."
  }

  # Lambda Developer Guide, "Configuring Amazon MSK cluster authentication methods in Lambda".
  validation {
    condition     = var.kafka.msk_cluster_arn == null || !contains(["BASIC_AUTH", "SASL_SCRAM_256_AUTH"], coalesce(var.kafka.auth, "none"))
    error_message = "MSK knows no SASL/PLAIN, and SCRAM with SHA-512 only: kafka.auth must be iam, SASL_SCRAM_512_AUTH or CLIENT_CERTIFICATE_TLS_AUTH there."
  }

  validation {
    condition     = contains(["none", "iam"], coalesce(var.kafka.auth, "none")) == (var.kafka.secret_arn == null) && (var.kafka.auth != "iam" || var.kafka.msk_cluster_arn != null)
    error_message = "kafka.secret_arn goes with an auth that needs a secret, and iam with an MSK cluster."
  }

  validation {
    condition     = alltrue([for arn in compact([var.kafka.secret_arn, var.kafka.root_ca_secret_arn]) : can(regex("^arn:aws[a-z-]*:secretsmanager:[^:]+:[0-9]+:secret:[^:]+$", arn))])
    error_message = "kafka.secret_arn and root_ca_secret_arn must be ARNs of Secrets Manager secrets, never values."
  }

  validation {
    condition     = var.dead_letter.topic == null || (var.kafka.msk_cluster_arn != null && contains(["none", "iam"], coalesce(var.kafka.auth, "none")))
    error_message = "dead_letter.topic is written by the function itself, which gets no secrets: that works on MSK with IAM or without auth. Use dead_letter.url otherwise."
  }
}

variable "package" {
  description = "The function: `image_uri`, an image in ECR; or the release's zip, `s3_bucket`, `s3_key` and `s3_object_version`."
  type = object({
    image_uri         = optional(string)
    s3_bucket         = optional(string)
    s3_key            = optional(string)
    s3_object_version = optional(string)
  })

  validation {
    condition     = (var.package.image_uri != null) != (var.package.s3_bucket != null && var.package.s3_key != null)
    error_message = "package takes image_uri, or s3_bucket with s3_key."
  }
}

variable "alarms" {
  description = <<-EOT
    CloudWatch alarms; null is none. One with a null threshold is not made.
    - `actions`: ARNs that are notified, usually SNS topics, of the alarm and of its end.
    - `lag`: records that the topic is ahead of what the function has taken.
    - `age_seconds`: age of the oldest record that was not taken; MSK only.
    - `dead_letters`: more dead letters than this within five minutes; 0 alarms on the first.
    - `no_poller`: whether it alarms that no poller has run for five minutes.
  EOT
  type = object({
    actions      = list(string)
    lag          = optional(number)
    age_seconds  = optional(number)
    dead_letters = optional(number)
    no_poller    = optional(bool, true)
  })
  default = null

  validation {
    condition     = try(var.alarms.age_seconds, null) == null || var.kafka.msk_cluster_arn != null
    error_message = "alarms.age_seconds looks at a metric of MSK; no other Kafka tells it to CloudWatch."
  }
}

variable "architecture" {
  description = "`arm64` or `x86_64`; the package has to be built for it."
  type        = string
  default     = "arm64"
  nullable    = false

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture must be arm64 or x86_64."
  }
}

variable "batch" {
  description = "How many records an invocation gets at most (`size`), and for how many seconds they are gathered (`window_seconds`)."
  type = object({
    size           = optional(number, 100)
    window_seconds = optional(number, 0)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.batch.size >= 1 && var.batch.size <= 10000 && var.batch.window_seconds >= 0 && var.batch.window_seconds <= 300
    error_message = "batch.size must be 1 to 10000, batch.window_seconds 0 to 300."
  }
}

variable "enabled" {
  description = "Whether the event source mapping reads. False stops the subscription where it is."
  type        = bool
  default     = true
  nullable    = false
}

variable "log_kms_key_arn" {
  description = "KMS key of the log group."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept; 0 is for ever."
  type        = number
  default     = 30
  nullable    = false
}

variable "memory" {
  description = "Memory of the function in MiB, by which it gets CPU, too."
  type        = number
  default     = 256
  nullable    = false
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of the function's own metrics, which are on where an alarm needs them: METRICS_EMF_NAMESPACE."
  type        = string
  default     = "KafkaSidecar"
  nullable    = false
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the role that the module makes."
  type        = string
  default     = null
}

variable "pollers" {
  description = "Pollers of the event source mapping, `min` to `max`; never more run than the topic has partitions. They are always provisioned: only these stop at a record for as long as it is unsettled."
  type = object({
    min = optional(number, 1)
    max = optional(number, 2)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.pollers.min >= 1 && var.pollers.min <= 200 && var.pollers.min <= var.pollers.max && var.pollers.max <= 2000
    error_message = "pollers.min must be 1 to 200 and not above max, which is 2000 at most."
  }
}

variable "reserved_concurrency" {
  description = "Most invocations at once. Null leaves it to the account."
  type        = number
  default     = null
}

variable "role_arn" {
  description = "Role of the function. Null makes one that may do what this subscription needs, and nothing else."
  type        = string
  default     = null
}

variable "secrets_kms_key_arns" {
  description = "Customer managed KMS keys that the secrets in `kafka` are encrypted with."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "tags" {
  description = "Tags of everything that is made."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "timeout" {
  description = "Seconds that an invocation may take. What is unsettled one second before its end comes again."
  type        = number
  default     = 300
  nullable    = false

  validation {
    condition     = var.timeout >= 10 && var.timeout <= 840
    error_message = "timeout must be 10 to 840: the pollers wait for 14 minutes at most."
  }
}

variable "vpc" {
  description = "Where the function itself runs, if the handler is in a VPC; null is outside of any."
  type = object({
    subnet_ids         = list(string)
    security_group_ids = list(string)
  })
  default = null
}
