# Inputs of this platform. What a subscription is, stands in core.tf.

variable "cluster_arn" {
  description = "ARN of the ECS cluster."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:ecs:[^:]+:[0-9]+:cluster/[^/]+$", var.cluster_arn))
    error_message = "cluster_arn must be the ARN of an ECS cluster."
  }
}

variable "image" {
  description = "Image of kafka-sidecar. Pin it by digest (`…@sha256:…`): a tag that moves makes replicas differ."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the tasks. They need a way to the brokers, the handler, the registry, CloudWatch Logs and the store of the secrets."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0
    error_message = "subnet_ids must name at least one subnet."
  }
}

variable "alarms" {
  description = <<-EOT
    CloudWatch alarms; null is none. One with a null threshold is not made.
    - `actions`: ARNs that are notified, usually SNS topics, of the alarm and of its end.
    - `lag`: records that the topic is ahead of what is settled.
    - `age_seconds`: age of the oldest record that is not settled. Set it well below the topic's retention.
    - `dead_letters`: more dead letters than this within five minutes; 0 alarms on the first.
    - `no_running_task`: whether it alarms that no task has run for five minutes.
  EOT
  type = object({
    actions         = list(string)
    lag             = optional(number)
    age_seconds     = optional(number)
    dead_letters    = optional(number)
    no_running_task = optional(bool, true)
  })
  default = null
}

variable "assign_public_ip" {
  description = "Whether tasks get a public address: needed in public subnets without a NAT gateway."
  type        = bool
  default     = false
  nullable    = false
}

variable "capacity_providers" {
  description = "Where tasks run: `FARGATE`, `FARGATE_SPOT` or a provider of the cluster, by weight after the base. The cluster must know them. Spot is safe here: a task that is taken away gets SIGTERM and drains."
  type = list(object({
    provider = string
    weight   = optional(number, 1)
    base     = optional(number, 0)
  }))
  default  = [{ provider = "FARGATE" }]
  nullable = false

  validation {
    condition     = length(var.capacity_providers) > 0 && length([for c in var.capacity_providers : c if c.base > 0]) <= 1
    error_message = "capacity_providers needs at least one entry, and at most one may have a base."
  }
}

variable "cpu" {
  description = "CPU units of the task, the handler's container included: 1024 is one vCPU."
  type        = number
  default     = 256
  nullable    = false
}

variable "cpu_architecture" {
  description = "`ARM64` or `X86_64`; the image has to be built for it."
  type        = string
  default     = "ARM64"
  nullable    = false

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture must be ARM64 or X86_64."
  }
}

variable "deployment" {
  description = "Bounds of the number of tasks during a deployment, in per cent of what is wanted. The new task joins the group before the old one leaves; `{ min_percent = 0, max_percent = 100 }` is for a handler that must never be called by two tasks at once."
  type = object({
    min_percent = optional(number, 100)
    max_percent = optional(number, 200)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.deployment.min_percent < var.deployment.max_percent
    error_message = "deployment.min_percent must be below max_percent: else no task can be replaced."
  }
}

variable "execution_role_arn" {
  description = "Role with which ECS pulls the image, writes logs and reads the secrets. Null makes one that may read the given secrets and nothing else."
  type        = string
  default     = null
}

variable "handler_container" {
  description = <<-EOT
    The handler as a second container of every task: it starts before the sidecar and stops after it. Null where the handler runs elsewhere.
    - `image`, `command`, `environment`, `user`: as in a container definition.
    - `secrets`: as the module's `secrets`.
    - `health_check`: a command that begins with `CMD` or `CMD-SHELL`; with it the sidecar waits until the handler is healthy.
    - `stop_timeout`: seconds between SIGTERM and SIGKILL, counted from when the sidecar has ended.
  EOT
  type = object({
    image                    = string
    command                  = optional(list(string))
    cpu                      = optional(number)
    memory                   = optional(number)
    environment              = optional(map(string), {})
    secrets                  = optional(map(string), {})
    user                     = optional(string)
    readonly_root_filesystem = optional(bool)
    stop_timeout             = optional(number)
    health_check = optional(object({
      command      = list(string)
      interval     = optional(number)
      timeout      = optional(number)
      retries      = optional(number)
      start_period = optional(number)
    }))
  })
  default = null

  validation {
    condition     = local.calls_loopback == (var.handler_container != null)
    error_message = var.handler_container == null ? "The sink is on the loopback, where nothing listens without handler_container." : "With handler_container the sink (or handler.url) must be on localhost: the containers of a task share it."
  }

  validation {
    condition     = alltrue([for arn in values(try(var.handler_container.secrets, {})) : can(regex(local.secret_arn, arn))])
    error_message = "handler_container.secrets must be ARNs of Secrets Manager or of SSM parameters, never values."
  }

  validation {
    condition     = contains(["CMD", "CMD-SHELL"], try(var.handler_container.health_check.command[0], "CMD"))
    error_message = "handler_container.health_check.command must begin with CMD or CMD-SHELL."
  }

  validation {
    condition     = var.handler_container == null || try(var.handler_container.stop_timeout <= 120, true)
    error_message = "handler_container.stop_timeout must be at most 120, which is the most that Fargate grants."
  }
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
  description = "Memory of the task in MiB, the handler's container included."
  type        = number
  default     = 512
  nullable    = false
}

variable "metrics_namespace" {
  description = "CloudWatch namespace of the sidecar's own metrics, which are on where an alarm or `scaling` needs them: METRICS_EMF_NAMESPACE."
  type        = string
  default     = "KafkaSidecar"
  nullable    = false
}

variable "msk" {
  description = <<-EOT
    The cluster where it is Amazon MSK. Null for any other Kafka.
    - `cluster_arn`: with it the alarms on lag and age look at MSK's own metrics, which are there when no task is.
    - `iam`: whether to authenticate with the task's role; sets the options for it, and grants what this subscription needs.
  EOT
  type = object({
    cluster_arn = string
    iam         = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.msk == null || can(regex("^arn:aws[a-z-]*:kafka:[^:]+:[0-9]+:cluster/[^/]+/[^/]+$", var.msk.cluster_arn))
    error_message = "msk.cluster_arn must be the ARN of an MSK cluster."
  }

  validation {
    condition     = !try(var.msk.iam, false) || length([for o in keys(coalesce(var.subscription.options, {})) : o if o == "security.protocol" || startswith(o, "sasl.")]) == 0
    error_message = "With msk.iam the module sets security.protocol and sasl.mechanism: leave them and the other sasl options out of subscription.options."
  }
}

variable "permissions_boundary_arn" {
  description = "Permissions boundary of the roles that the module makes."
  type        = string
  default     = null
}

variable "scaling" {
  description = <<-EOT
    How many tasks run. Left out it is one.
    - `min`, `max`: bounds; equal, they are a fixed number. Tasks beyond the topic's partitions have nothing to do. Both 0 stop the subscription.
    - `target_lag`: backlog in records that one task may have: above it tasks are added, well below it taken away. Parked records are not counted.
    - `target_load`: share of its CONCURRENCY in per cent that one task should need; above 100 records wait for a slot. Needed, or `target_lag`, where `max` is above `min`.
    - `partitions`: of the topic, so that a `max` above it is refused.
    - `in_cooldown`, `out_cooldown`: seconds to wait after taking a task away, or adding one.
  EOT
  type = object({
    min          = optional(number, 1)
    max          = optional(number)
    target_lag   = optional(number)
    target_load  = optional(number)
    partitions   = optional(number)
    in_cooldown  = optional(number, 300)
    out_cooldown = optional(number, 60)
  })
  default  = {}
  nullable = false

  validation {
    condition     = var.scaling.min >= 0 && coalesce(var.scaling.max, var.scaling.min) >= var.scaling.min
    error_message = "scaling.max must not be below scaling.min."
  }

  validation {
    condition     = (coalesce(var.scaling.max, var.scaling.min) > var.scaling.min) == (var.scaling.target_lag != null || var.scaling.target_load != null)
    error_message = "scaling.target_lag or target_load goes with a max above min: it is what scales between the two."
  }

  validation {
    condition     = (var.scaling.target_lag == null && var.scaling.target_load == null) || var.scaling.min > 0
    error_message = "scaling.min must be at least 1 with a target: the backlog is told by the tasks, so with none nothing would ever start one."
  }

  validation {
    condition     = var.scaling.partitions == null || try(coalesce(var.scaling.max, var.scaling.min) <= var.scaling.partitions, true)
    error_message = "scaling.max is above the topic's partitions: the tasks beyond them would have nothing to do."
  }
}

variable "schedule" {
  description = <<-EOT
    Run to completion on a schedule instead of all the time: EventBridge Scheduler starts one task, which delivers what lies before `end_at` and ends. Null is a service.
    - `expression`: `rate(1 hour)`, `cron(0 3 * * ? *)` or `at(2027-01-01T00:00:00)`; `timezone`: of cron and at.
    - `end_at`: END_AT.
    - `enabled`: whether the schedule is on.
  EOT
  type = object({
    expression = string
    end_at     = string
    timezone   = optional(string)
    enabled    = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.schedule == null || can(regex("^(rate|cron|at)\\(.+\\)$", var.schedule.expression))
    error_message = "schedule.expression must be rate(…), cron(…) or at(…)."
  }

  validation {
    condition     = var.schedule == null || (var.scaling.min == 1 && local.max_tasks == 1)
    error_message = "schedule starts one task at a time: leave scaling out."
  }
}

variable "secrets" {
  description = "Variables whose values are read when a task starts: the name of the variable, and the ARN of a Secrets Manager secret (with `:key::` behind it for one field of its JSON) or of an SSM parameter."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for arn in values(var.secrets) : can(regex(local.secret_arn, arn))])
    error_message = "secrets must be ARNs of Secrets Manager or of SSM parameters, never values."
  }

  validation {
    condition     = length(setintersection(keys(var.secrets), keys(local.environment))) == 0
    error_message = "secrets sets what another input of the module sets: ${join(", ", setintersection(keys(var.secrets), keys(local.environment)))}."
  }
}

variable "secrets_kms_key_arns" {
  description = "Customer managed KMS keys that the secrets are encrypted with."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "security_group_ids" {
  description = "Security groups of the tasks. Left out it is the default one of the VPC."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "shutdown_timeout" {
  description = "SHUTDOWN_TIMEOUT in seconds. ECS waits five seconds longer before it kills, so at most 115. Null leaves both as they are, which fits: 25 s and 30 s."
  type        = number
  default     = null

  validation {
    condition     = var.shutdown_timeout == null || try(var.shutdown_timeout >= 1 && var.shutdown_timeout <= 115, false)
    error_message = "shutdown_timeout must be 1 to 115: ECS kills a container after at most 120 s."
  }
}

variable "tags" {
  description = "Tags of everything that is made; tasks get them too."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "task_policy_arns" {
  description = "Further policies of the task's role, by a name of your choice: what the handler's container needs."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(var.task_policy_arns) == 0 || var.task_role_arn == null
    error_message = "task_policy_arns is for the role that the module makes: leave it out with task_role_arn."
  }
}

variable "task_role_arn" {
  description = "Role of the containers. Null makes one that may do what msk.iam and a lambda:// sink need, and nothing else."
  type        = string
  default     = null
}

variable "wait_for_steady_state" {
  description = "Whether apply waits until the deployment has ended, so that a failed one fails it."
  type        = bool
  default     = false
  nullable    = false
}
